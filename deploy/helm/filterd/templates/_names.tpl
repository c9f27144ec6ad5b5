{{/* What the objects are called: the release, with the chart's name unless it is in it already. */}}
{{- define "filterd.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: a Deployment cannot change what it selects by. */}}
{{- define "filterd.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "filterd.labels" -}}
{{ include "filterd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The claim of server.state_dir. */}}
{{- define "filterd.claim" -}}
{{- .Values.state.existingClaim | default (printf "%s-state" (include "filterd.name" .)) -}}
{{- end -}}

{{- define "filterd.podSecurity" -}}
runAsNonRoot: true
# The user of the images; it owns the models.
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "filterd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What the daemon and the training of its models are both told. */}}
{{- define "filterd.environment" -}}
- {name: FILTERD_STORE__URL, value: "file:/run/secrets/filterd/store-url"}
- {name: FILTERD_SERVER__SECRET, value: "file:/run/secrets/filterd/secret"}
- {name: FILTERD_SERVER__STATE_DIR, value: /var/lib/filterd}
{{- end -}}

{{- define "filterd.volumes" -}}
- name: config
  configMap: {name: {{ include "filterd.name" . }}}
- name: secrets
  secret: {secretName: {{ required "secret: name a secret with store-url and secret, see values.yaml" .Values.secret }}, defaultMode: 0440}
- name: state
{{- if .Values.state.enabled }}
  persistentVolumeClaim: {claimName: {{ include "filterd.claim" . }}}
{{- else }}
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- end -}}

{{- define "filterd.mounts" -}}
- {name: config, mountPath: /etc/filterd, readOnly: true}
- {name: secrets, mountPath: /run/secrets/filterd, readOnly: true}
- {name: state, mountPath: /var/lib/filterd}
- {name: tmp, mountPath: /tmp}
{{- end -}}
