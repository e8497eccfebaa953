{{/*
attache.pod: a pod template with the sidecar in it.

  template:
    {{- include "attache.pod" (list . "orders.pod") | nindent 4 }}

"orders.pod" is a template of your own that gives metadata and spec of the pod, as you would have written them here. The
sidecar is the first of the init containers, or of the containers where it is a classic one.
*/}}
{{- define "attache.pod" -}}
{{- $context := index . 0 -}}
{{- $pod := include (index . 1) $context | fromYaml -}}
{{- if hasKey $pod "Error" -}}
{{- fail (printf "attache.pod: %s is not YAML: %s" (index . 1) $pod.Error) -}}
{{- end -}}
{{- if not (hasKey $pod "spec") -}}
{{- fail (printf "attache.pod: %s has no spec: it must give metadata and spec of a pod" (index . 1)) -}}
{{- end -}}
{{- $kind := include "attache.kind" $context -}}
{{- $metadata := $pod.metadata | default dict -}}
{{- $labels := merge (dict "attache-proxy.io/sidecar" $kind) ($metadata.labels | default dict) -}}
{{- $sum := include "attache.values" $context | fromYaml | dig "config" dict | toYaml | sha256sum -}}
{{- $annotations := merge (dict "attache-proxy.io/config" (trunc 16 $sum)) ($metadata.annotations | default dict) -}}
{{- $_ := set $metadata "labels" $labels -}}
{{- $_ := set $metadata "annotations" $annotations -}}
{{- $_ := set $pod "metadata" $metadata -}}
{{- $container := include "attache.container" $context | fromYaml -}}
{{- $list := ternary "initContainers" "containers" (eq $kind "native") -}}
{{- $_ := set $pod.spec $list (prepend (get $pod.spec $list | default list) $container) -}}
{{- $volumes := include "attache.volumes" $context | fromYamlArray -}}
{{- $_ := set $pod.spec "volumes" (concat ($pod.spec.volumes | default list) $volumes) -}}
{{- toYaml $pod -}}
{{- end -}}

{{/* The container of a sidecar, native or classic. */}}
{{- define "attache.container" -}}
{{- $values := include "attache.values" . | fromYaml -}}
{{- $native := eq (include "attache.kind" .) "native" -}}
{{- include "attache.process" . }}
{{- if $native }}
restartPolicy: Always
{{- else }}
lifecycle:
  postStart: { exec: { command: [attache, wait] } }
{{- end }}
{{- $env := $values.env | default list }}
{{- if not $native }}
{{- $env = append $env (dict "name" "ATTACHE_DRAIN__LINGER" "value" $values.sidecar.linger) }}
{{- end }}
{{- with $env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every container of Attaché has, beside an application or alone. */}}
{{- define "attache.process" -}}
{{- $values := include "attache.values" . | fromYaml -}}
name: attache
image: {{ include "attache.image" . }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: [run, -c, /etc/attache/attache.yaml]
ports:
  - { name: attache-health, containerPort: 9900 }
startupProbe:
  httpGet: { path: /startupz, port: attache-health }
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /readyz, port: attache-health }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /livez, port: attache-health }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
resources: {{- toYaml $values.resources | nindent 2 }}
securityContext: {{- include "attache.securityContext" . | nindent 2 }}
volumeMounts:
  - { name: attache-configuration, mountPath: /etc/attache, readOnly: true }
{{- range $folder, $secret := $values.secrets }}
  - { name: {{ printf "attache-%s" $folder | quote }}, mountPath: {{ printf "/var/run/secrets/attache/%s" $folder | quote }}, readOnly: true }
{{- end }}
{{- end -}}

{{- define "attache.image" -}}
{{- $image := (include "attache.values" . | fromYaml).image -}}
{{ if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default "0.1.0" }}{{ end }}
{{- end -}}

{{- define "attache.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* The volumes of that container. */}}
{{- define "attache.volumes" -}}
{{- $values := include "attache.values" . | fromYaml -}}
- name: attache-configuration
  projected:
    sources:
      - configMap: { name: {{ include "attache.configMap" . | quote }} }
{{- with $values.caConfigMap }}
      - configMap: { name: {{ . | quote }}, items: [{ key: ca.pem, path: ca.pem }] }
{{- end }}
{{- range $folder, $secret := $values.secrets }}
- name: {{ printf "attache-%s" $folder | quote }}
  secret: { secretName: {{ $secret | quote }}, defaultMode: 0444 }
{{- end }}
{{- end -}}
