import { Instance } from "@cdktf/provider-aws/lib/instance";
import { Construct } from "constructs";
import { ec2Hostname, nodePlace, usableHostNumbers } from "../model/addressing";
import { LIMITS, mustBe, wholeNumberFrom } from "../model/formats";
import type { NodeFacts } from "../model/identities";
import { type NodeRole, nodeName } from "../model/names";
import { assertLiteralNumber, assertProp } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";
import type { ClusterSecurityGroups } from "./cluster-security-groups";
import type { SshKey } from "./ssh-key";

/** The root disk of a machine. */
export interface RootVolumeProps {
  /** Size in GiB. @default - the image's */
  readonly sizeGiB?: number;
  /** EBS volume type. @default - the image's */
  readonly type?: string;
  /** Whether the disk is encrypted with the account's EBS key. A change replaces the machine. @default - the account's setting */
  readonly encrypted?: boolean;
}

/** Properties of a {@link NodeFleet}. */
export interface NodeFleetProps {
  /** The start of the machines' Name tags. */
  readonly clusterName: string;
  /** The role of the machines. */
  readonly role: NodeRole;
  /** The network of the machines. Node i is in subnet i modulo the number of subnets. */
  readonly network: ClusterNetwork;
  /** The security groups of the machines. */
  readonly securityGroups: ClusterSecurityGroups;
  /** The key that logs in to the machines. */
  readonly sshKey: SshKey;
  /** The id of the image. A change has no effect on existing machines. */
  readonly imageId: string;
  /** Number of machines, from 0 to 1000. It cannot be a token, because each machine is a separate resource. */
  readonly count: number;
  /** The host number of node 0. Node i has this number plus i. */
  readonly firstHostNumber: number;
  /** The EC2 instance type. */
  readonly instanceType: string;
  /** The root disk of each machine. @default - the image's */
  readonly rootVolume?: RootVolumeProps;
  /** The user data of a machine, by index. A change has no effect on existing machines. */
  readonly userData: (index: number) => string;
}

/** A machine of the cluster. */
export interface ClusterNode extends NodeFacts {
  /** The EC2 instance. */
  readonly instance: Instance;
}

/**
 * The machines of one role. Each has a fixed private address and a public address. The source/destination check is off,
 * because machines route packets for their pods. Version 1 of the metadata service is on, because part 2 of the tutorial
 * reads it.
 *
 * @throws Error if EC2 would refuse a name or type, or if a machine does not fit into its subnet
 */
export class NodeFleet extends Construct {
  /** The machines, by index. */
  readonly nodes: readonly ClusterNode[];

  constructor(scope: Construct, id: string, props: NodeFleetProps) {
    super(scope, id);
    assertProp("clusterName", LIMITS.clusterName, props.clusterName);
    assertProp("instanceType", LIMITS.instanceType, props.instanceType);
    assertLiteralNumber("count", { min: 0, max: 1000 }, props.count);
    assertLiteralNumber("firstHostNumber", { min: 0, max: 65535 }, props.firstHostNumber);

    this.nodes = Array.from({ length: props.count }, (_, index) => this.addNode(props, index));
  }

  private addNode(props: NodeFleetProps, index: number): ClusterNode {
    const { network, securityGroups, sshKey, rootVolume } = props;
    const { id, name } = nodeName(props.clusterName, props.role, index);
    const { address: privateIp, subnetIndex } = place(props, index);

    const instance = new Instance(this, id, {
      ami: props.imageId,
      instanceType: props.instanceType,
      keyName: sshKey.keyPair.keyName,
      subnetId: network.subnets[subnetIndex]?.id,
      vpcSecurityGroupIds: [securityGroups.nodes.id],
      privateIp,
      associatePublicIpAddress: true,
      sourceDestCheck: false,
      userData: props.userData(index),
      metadataOptions: { httpEndpoint: "enabled", httpTokens: "optional" },
      rootBlockDevice: rootVolume && {
        volumeSize: rootVolume.sizeGiB,
        volumeType: rootVolume.type,
        encrypted: rootVolume.encrypted,
      },
      tags: { Name: name },
      // The gateway cannot be detached while the machine has a public address. The copies need the route to connect.
      dependsOn: [...network.internetAccess],
      lifecycle: {
        // A newly published image, changed user data, or a stopped machine (which has no public address) must not replace
        // a machine of a running cluster.
        ignoreChanges: ["ami", "user_data", "associate_public_ip_address"],
        postcondition: [
          {
            // biome-ignore lint/suspicious/noTemplateCurlyInString: Terraform's template, not JavaScript's
            condition: '${self.public_ip != ""}',
            errorMessage: `${name} has no public address: a stopped machine has none, start it and apply again`,
          },
        ],
      },
    });
    const hostname = ec2Hostname(privateIp);
    return { id, name, role: props.role, hostname, privateIp, publicIp: instance.publicIp, instance };
  }
}

function place(props: NodeFleetProps, index: number): { address: string; subnetIndex: number } {
  const cidrs = props.network.subnets.map((subnet) => subnet.cidrBlockInput as string);
  const { address, hostNumber, subnetIndex } = nodePlace(cidrs, props.firstHostNumber, index);
  const cidr = cidrs[subnetIndex] as string;
  const usable = usableHostNumbers(cidr);
  if (hostNumber < usable.min || hostNumber > usable.max) {
    const name = `host number of ${props.role}-${index}`;
    throw new Error(mustBe(name, `${wholeNumberFrom(usable)} in ${cidr}`, hostNumber));
  }
  return { address, subnetIndex };
}
