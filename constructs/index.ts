export { encryptionConfig } from "../kubernetes/encryption-config";
export {
  apiServer,
  type KubeconfigProps,
  type KubeconfigUser,
  kubeconfig,
  kubeconfigUsers,
} from "../kubernetes/kubeconfig";
export {
  type ClusterFacts,
  type KubeletIdentity,
  type NodeFacts,
  type ServerNames,
  serverNames,
} from "../model/identities";
export type { UbuntuRelease } from "../model/images";
export type { PkiLifetimes } from "../model/lifetimes";
export type { NodeRole } from "../model/names";
export { type Access, type SecurityRule, securityRules } from "../model/security-rules";
export { Cluster, type ClusterProps, type MachinesProps } from "./cluster";
export {
  ClusterNetwork,
  type ClusterNetworkProps,
  type ClusterSubnetProps,
} from "./cluster-network";
export {
  type CertificateAndKey,
  ClusterPki,
  type ClusterPkiProps,
  type PkiSubject,
} from "./cluster-pki";
export { ClusterSecurityGroups, type ClusterSecurityGroupsProps } from "./cluster-security-groups";
export { type BackendProps, ClusterStack, type ClusterStackProps } from "./cluster-stack";
export { ControlPlaneNlb, type ControlPlaneNlbProps } from "./control-plane-nlb";
export { EncryptionKey } from "./encryption-key";
export { FileDistribution, type FileDistributionProps, type FileToDistribute } from "./file-distribution";
export type { KubernetesProps } from "./kubernetes";
export { type ClusterNode, NodeFleet, type NodeFleetProps, type RootVolumeProps } from "./node-fleet";
export { PodRoutes, type PodRoutesProps } from "./pod-routes";
export { SshKey, type SshKeyProps } from "./ssh-key";
export { UbuntuImage, type UbuntuImageProps } from "./ubuntu-image";
