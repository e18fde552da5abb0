"""The shell on Kubernetes: a cache of children, a queue of workflows, and the same plan over KubeRay."""
