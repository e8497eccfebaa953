{{/* The values of this chart, in its own templates and in those of a chart that depends on it. */}}
{{- define "attache.values" -}}
{{- if and (hasKey .Values "attache") (ne .Chart.Name "attache") -}}
{{- toYaml .Values.attache -}}
{{- else -}}
{{- toYaml .Values -}}
{{- end -}}
{{- end -}}

{{/* The same name for a chart that depends on this one, so that its sidecars find the ConfigMap. */}}
{{- define "attache.name" -}}
{{- $release := .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- ternary $release (printf "%s-attache" $release) (contains "attache" $release) -}}
{{- end -}}

{{- define "attache.configMap" -}}
{{- $values := include "attache.values" . | fromYaml -}}
{{- $values.existingConfigMap | default (include "attache.name" .) -}}
{{- end -}}

{{- define "attache.labels" -}}
app.kubernetes.io/name: attache
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "attache.selector" -}}
app.kubernetes.io/name: attache
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The webhook is another program than what stands behind a Service, also in one release. */}}
{{- define "attache.injector.labels" -}}
{{- merge (include "attache.injector.selector" . | fromYaml) (include "attache.labels" . | fromYaml) | toYaml -}}
{{- end -}}

{{- define "attache.injector.selector" -}}
app.kubernetes.io/name: attache-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* native or classic, as the values and the cluster have it. */}}
{{- define "attache.kind" -}}
{{- $values := include "attache.values" . | fromYaml -}}
{{- if ne $values.sidecar.kind "auto" -}}
{{- $values.sidecar.kind -}}
{{- else if semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}
native
{{- else -}}
classic
{{- end -}}
{{- end -}}
