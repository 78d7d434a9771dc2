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

/** A machine's first disk. */
export interface RootVolumeProps {
  /** Its size in GiB. @default - the image's */
  readonly sizeGiB?: number;
  /** Its EBS type. @default - the image's */
  readonly type?: string;
  /** Whether it is encrypted with the account's EBS key; a change replaces the machine. @default - the account's */
  readonly encrypted?: boolean;
}

/** What a {@link NodeFleet} needs to know. */
export interface NodeFleetProps {
  /** The start of the machines' Name tags. */
  readonly clusterName: string;
  /** What the machines are for. */
  readonly role: NodeRole;
  /** The network to put them in; node i goes into subnet i modulo their number. */
  readonly network: ClusterNetwork;
  /** The security groups of the machines. */
  readonly securityGroups: ClusterSecurityGroups;
  /** The key that opens them. */
  readonly sshKey: SshKey;
  /** The image to start from. Machines that exist stay as they are when this changes. */
  readonly imageId: string;
  /** How many, from 0 to 1000; no token, since each is a resource of its own. */
  readonly count: number;
  /** The host number of node 0; node i has this plus i. */
  readonly firstHostNumber: number;
  /** The EC2 instance type. */
  readonly instanceType: string;
  /** @default - as the image has it */
  readonly rootVolume?: RootVolumeProps;
  /** A machine's user data, by its index. Machines that exist stay as they are when this changes. */
  readonly userData: (index: number) => string;
}

/** A machine of the cluster. */
export interface ClusterNode extends NodeFacts {
  /** The machine in EC2. */
  readonly instance: Instance;
}

/**
 * The machines of one role, at fixed private addresses, each with a public address, without source/destination check
 * (they route for their pods) and with version 1 of the metadata service, which the tutorial's next part reads.
 *
 * @throws Error on a name or type that EC2 would refuse, and on a machine that does not fit its subnet
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
      // Its public address keeps the gateway from being detached, and its copies need the way in.
      dependsOn: [...network.internetAccess],
      lifecycle: {
        // A newly published image, other user data, or a stopped machine (which has no public address) must not
        // replace a machine that runs a cluster.
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
