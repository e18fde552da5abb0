"""`python -m tests.cluster.providers.door PORT NETWORK`: a port of this machine's loopback that leads into a cell.

The socket is opened outside, and then the process moves into the cell's network, where it connects to the same port:
so there is one way in, and none out.
"""

import asyncio
import ctypes
import os
import socket
import sys

HOST = "127.0.0.1"
_CLONE_NEWNET = 0x40000000  # linux/sched.h


async def main(port: int, network: str) -> None:
    """Pass on what comes, until the process is ended."""
    outside = socket.create_server((HOST, port))
    _move_into(network)

    async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
        except OSError:  # nothing listens there yet
            writer.close()
            return
        await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))

    async with await asyncio.start_server(passing, sock=outside) as server:
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except ConnectionError:
        pass  # the other direction learns of it when it is closed
    finally:
        writer.close()


def _move_into(network: str) -> None:
    handle = os.open(network, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter {network}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
