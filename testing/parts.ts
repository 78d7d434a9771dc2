import type { Construct } from "constructs";
import {
  ClusterNetwork,
  ClusterSecurityGroups,
  type ClusterSecurityGroupsProps,
  NodeFleet,
  SshKey,
} from "../constructs";

/** A network, security groups, a key and machines, for tests of constructs in a stack that is not a ClusterStack. */
export function someMachines(scope: Construct, count = 2, security: Partial<ClusterSecurityGroupsProps> = {}) {
  const clusterName = "theirs";
  const network = new ClusterNetwork(scope, "net", {
    clusterName,
    region: "eu-central-1",
    cidrBlock: "10.0.0.0/16",
    subnets: [
      { cidrBlock: "10.0.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "10.0.1.0/24", availabilityZone: "eu-central-1b" },
    ],
  });
  const securityGroups = new ClusterSecurityGroups(scope, "security", {
    clusterName,
    network,
    access: { ssh: [], api: ["0.0.0.0/0"], icmp: [] },
    apiServerPort: 6443,
    ...security,
  });
  const sshKey = new SshKey(scope, "ssh", { clusterName });
  const { nodes } = new NodeFleet(scope, "fleet", {
    clusterName,
    role: "worker",
    network,
    securityGroups,
    sshKey,
    imageId: "ami-0123456789abcdef0",
    count,
    firstHostNumber: 30,
    instanceType: "t3.small",
    userData: (index) => `name=worker-${index}`,
  });
  return { clusterName, network, securityGroups, sshKey, nodes };
}
