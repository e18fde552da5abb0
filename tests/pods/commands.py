"""What documents tell people to type for an installation; the tests type it with real pods."""

INSTALL = "helm install llmworkflow charts/llmworkflow --namespace llmworkflow --create-namespace"
UPGRADE = "helm upgrade llmworkflow charts/llmworkflow --namespace llmworkflow"
UNINSTALL = "helm uninstall llmworkflow --namespace llmworkflow"
APPLY = "kubectl apply --server-side -f manifests/install.yaml"
