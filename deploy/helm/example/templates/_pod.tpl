{{- define "orders.restricted" -}}
{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
{{- end -}}

{{- define "orders.database" -}}
- { name: PGHOST, value: 127.0.0.1 }
- { name: PGDATABASE, value: orders }
- { name: PGUSER, value: anyone }
{{- end -}}

{{/* The pod of the application, without a word about Attaché. */}}
{{- define "orders.pod" -}}
metadata:
  labels: { app.kubernetes.io/name: orders, app.kubernetes.io/instance: {{ .Release.Name }} }
spec:
  automountServiceAccountToken: false
  securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: orders
      image: {{ .Values.image }}
      command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]
      env: {{- include "orders.database" . | nindent 8 }}
      securityContext: {{ include "orders.restricted" . }}
{{- end -}}

{{- define "orders.job" -}}
metadata:
  labels: { app.kubernetes.io/name: orders-job, app.kubernetes.io/instance: {{ .Release.Name }} }
spec:
  automountServiceAccountToken: false
  restartPolicy: Never
  securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: job
      image: {{ .Values.image }}
      command: [psql, -v, ON_ERROR_STOP=1, -c, "select current_user"]
      env: {{- include "orders.database" . | nindent 8 }}
      securityContext: {{ include "orders.restricted" . }}
{{- end -}}
