import { duration, integer, oneOf, text } from '@mesh/config/environment';
import { logLevels } from '@mesh/telemetry/log';

/** Settings of the injector. */
export const injectorConfig = {
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least severe log line that is written.', default: 'info' }),
  MESH_INJECTOR_PORT: integer({ doc: 'Port of the admission webhook.', default: 8443, min: 0, max: 65_535 }),
  MESH_ADMIN_PORT: integer({
    doc: 'Port of /ready, /live and /metrics.',
    default: 9990,
    min: 0,
    max: 65_535,
  }),
  MESH_INSTALL_CONFIG_FILE: text({
    doc: 'File with the values of the install, mounted from ConfigMap mesh-config.',
    default: '/var/run/mesh/config/values',
  }),
  MESH_INJECTOR_CERT_LIFETIME: duration({
    doc: 'How long a webhook certificate is valid; it is renewed after two thirds.',
    default: '720h',
    min: '1h',
    max: '8760h',
  }),
};
