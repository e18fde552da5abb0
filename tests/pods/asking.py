"""Scripts that run in a pod: clients of an endpoint as people write them."""

# Streams answers with the openai client; prints the models and, of each answer, its pieces and its text.
STREAM = """
import json, openai
client = openai.OpenAI(base_url=url + "/v1", api_key=key)
answers = []
for text in texts:
    pieces = client.chat.completions.create(
        model="viggo", messages=[{"role": "user", "content": text}], max_tokens=96, temperature=0, stream=True
    )
    found = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    answers.append([len(found), "".join(found)])
print(json.dumps({"models": [model.id for model in client.models.list()], "answers": answers}))
"""

# The status codes of requests, each a method, an address, headers and a body.
STATUS = """
import json, urllib.error, urllib.request
codes = []
for method, url, headers, body in requests:
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(url, data, headers | {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            codes.append(answer.status)
    except urllib.error.HTTPError as error:
        codes.append(error.code)
    except OSError as error:
        codes.append(type(getattr(error, "reason", error)).__name__)
print(json.dumps(codes))
"""
