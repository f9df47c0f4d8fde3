/** Annotations and labels that the mesh of one cluster reads or writes on its workloads; those between clusters are in `names.ts`. */
export const injectAnnotation = 'mesh.io/inject';
export const proxyVersionAnnotation = 'mesh.io/proxy-version';
/** Of pods, Services and namespaces, in the form of `portListed`. */
export const opaquePortsAnnotation = 'mesh.io/opaque-ports';
export const inboundPolicyAnnotation = 'mesh.io/default-inbound-policy';
export const skipInboundAnnotation = 'mesh.io/skip-inbound-ports';
/** The container that sets up what is redirected, and its setting of what is not. */
export const initContainerName = 'mesh-init';
export const skipInboundSetting = 'MESH_INIT_SKIP_INBOUND_PORTS';
/** Without that annotation: what clusters of MySQL (Galera) speak among themselves. */
export const defaultSkippedPorts = '4567,4568';
export const skipOutboundAnnotation = 'mesh.io/skip-outbound-ports';
/** Of the sidecar's `MESH_MAX_IN_FLIGHT`. */
export const maxInFlightAnnotation = 'mesh.io/max-in-flight';
/** On every pod that has a sidecar. */
export const controlPlaneLabel = 'mesh.io/control-plane-ns';
