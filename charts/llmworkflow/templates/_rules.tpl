{{/*
What the operator may do, and nothing else: it reads no Secret, and neither escalates nor binds what it does not hold.
*/}}
{{- define "llmworkflow.rules" -}}
# Workflows belong to people: the operator writes their status alone.
- apiGroups: [llmworkflow.io]
  resources: [llmworkflows]
  verbs: [get, list, watch]
- apiGroups: [llmworkflow.io]
  resources: [llmworkflows/status]
  verbs: [update]
# blockOwnerDeletion of what a workflow owns.
- apiGroups: [llmworkflow.io]
  resources: [llmworkflows/finalizers]
  verbs: [update]
- apiGroups: [ray.io]
  resources: [rayjobs, rayservices]
  verbs: [get, list, watch, create, update, delete]
# The code and the configurations of jobs, and what they report. Heads write their report with get, patch and update:
# who gives a right by a Role has to hold it. All of these are watched, without their content, so that what somebody
# deletes is made anew.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
# What a pending child waits for.
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims]
  verbs: [list]
{{- end }}

{{/* What belongs to no namespace, and is only looked at. */}}
{{- define "llmworkflow.clusterRules" -}}
# What a pending child waits for.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
# Kopf notices when the CRD of workflows comes or changes.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- if .Values.watchNamespaces }}
# ... and when one of the namespaces does.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* The one subject of all bindings. */}}
{{- define "llmworkflow.subjects" -}}
- kind: ServiceAccount
  name: {{ include "llmworkflow.fullname" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
