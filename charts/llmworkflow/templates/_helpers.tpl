{{- define "llmworkflow.fullname" -}}
{{- $release := ternary .Release.Name (printf "%s-llmworkflow" .Release.Name) (contains "llmworkflow" .Release.Name) -}}
{{- .Values.fullnameOverride | default (printf "%s-operator" $release) | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "llmworkflow.selector" -}}
app.kubernetes.io/name: llmworkflow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "llmworkflow.labels" -}}
{{ include "llmworkflow.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Name, namespace and labels of whatever is in the release's namespace. */}}
{{- define "llmworkflow.metadata" -}}
name: {{ include "llmworkflow.fullname" . }}
namespace: {{ .Release.Namespace }}
labels: {{- include "llmworkflow.labels" . | nindent 2 }}
{{- end }}

{{- define "llmworkflow.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ ternary (printf "@%s" .Values.image.digest) (printf ":%s" $tag) (ne .Values.image.digest "") }}
{{- end }}

{{/* The file that the operator reads. */}}
{{- define "llmworkflow.settings" -}}
{{- $own := dict
  "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .Release.Namespace))
  "podSelector" (dict "matchLabels" (include "llmworkflow.selector" . | fromYaml)) -}}
{{- $kuberay := dict
  "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .Values.kuberay.namespace))
  "podSelector" (dict "matchLabels" .Values.kuberay.podLabels) -}}
{{- $defaults := dict
  "image" (printf "llmworkflow/jobs:%s" .Chart.AppVersion)
  "operators" (list $own $kuberay) -}}
namespaces: {{ .Values.watchNamespaces | toJson }}
userVerified: {{ .Values.admissionPolicy.enabled }}
workers: {{ .Values.workers }}
resyncSeconds: {{ .Values.resyncSeconds }}
port: {{ .Values.metrics.port }}
leaseName: {{ include "llmworkflow.fullname" . }}
logFormat: {{ .Values.logFormat }}
jobs: {{- merge (deepCopy .Values.jobs) $defaults | toYaml | nindent 2 }}
{{- end }}
