import { Lb } from "@cdktf/provider-aws/lib/lb";
import { LbListener } from "@cdktf/provider-aws/lib/lb-listener";
import { LbTargetGroup } from "@cdktf/provider-aws/lib/lb-target-group";
import { LbTargetGroupAttachment } from "@cdktf/provider-aws/lib/lb-target-group-attachment";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import { dependable, Token } from "cdktf";
import { Construct } from "constructs";
import { addressSlug } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { API_SERVER_PORT } from "../model/ports";
import { assertProp, assertWholeNumber } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";

/** What a {@link ControlPlaneNlb} needs to know. */
export interface ControlPlaneNlbProps {
  /** The load balancer's and the target group's name: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The network whose subnets it serves. */
  readonly network: ClusterNetwork;
  /** The private IPv4 addresses that it forwards to; at least one. */
  readonly targetAddresses: readonly string[];
  /** The TCP port that it listens on and forwards to. @default 6443 */
  readonly port?: number;
  /**
   * Public addresses of machines, by name, that reach the port through the load balancer's public name, where the
   * security group does not let everybody in. Giving this, be it empty, makes the load balancer preserve its
   * clients' addresses, so that the security group's rules meet clients; without, they meet the load balancer alone,
   * and whoever reaches it gets through.
   * @default - clients' addresses are not preserved, and the load balancer is open to all
   */
  readonly clients?: Readonly<Record<string, string>>;
}

/**
 * The public address of the API servers: a network load balancer over all subnets, a TCP listener, and a target group
 * of fixed private addresses, which may be registered before their machines exist.
 *
 * @throws Error on a name, address or port that AWS would refuse
 */
export class ControlPlaneNlb extends Construct {
  /** The load balancer. */
  readonly loadBalancer: Lb;
  /** The public name at which the API servers are reached. */
  readonly dnsName: string;

  constructor(scope: Construct, id: string, props: ControlPlaneNlbProps) {
    super(scope, id);
    const { clusterName, network, targetAddresses, port = API_SERVER_PORT, clients } = props;
    assertProp("clusterName", LIMITS.clusterName, clusterName);
    assertWholeNumber("port", { min: 1, max: 65535 }, port);
    if (targetAddresses.length === 0) {
      throw new Error(mustBe("targetAddresses", "a list of at least one IPv4 address", targetAddresses));
    }
    targetAddresses.forEach((address, index) => {
      assertProp(`targetAddresses[${index}]`, LIMITS.address, address);
    });

    this.loadBalancer = new Lb(this, "load-balancer", {
      name: clusterName,
      loadBalancerType: "network",
      internal: false,
      subnets: network.subnets.map((subnet) => subnet.id),
      // Its public addresses keep the gateway from being detached.
      dependsOn: [...network.internetAccess],
    });
    this.dnsName = this.loadBalancer.dnsName;

    const targetGroup = new LbTargetGroup(this, "target-group", {
      name: clusterName,
      protocol: "TCP",
      port,
      targetType: "ip",
      vpcId: network.vpc.id,
      // Said in both cases: left out, the provider would keep what it was before.
      preserveClientIp: String(clients !== undefined),
    });
    targetAddresses.forEach((targetId, index) => {
      const suffix = Token.isUnresolved(targetId) ? index : addressSlug(targetId);
      new LbTargetGroupAttachment(this, `target-${suffix}`, { targetGroupArn: targetGroup.arn, targetId, port });
    });
    new LbListener(this, "listener", {
      loadBalancerArn: this.loadBalancer.arn,
      protocol: "TCP",
      port,
      defaultAction: [{ type: "forward", targetGroupArn: targetGroup.arn }],
      // A target group in use cannot be replaced, and the name leaves no room for two. The ARN changes with a
      // replacement alone: the group as a whole would take the listener down with every change of a tag.
      lifecycle: { replaceTriggeredBy: [`${dependable(targetGroup)}.arn`] },
    });

    for (const [client, address] of Object.entries(clients ?? {})) {
      new VpcSecurityGroupIngressRule(this, `control-plane-api-from-${client}`, {
        securityGroupId: network.securityGroup.id,
        ipProtocol: "tcp",
        fromPort: port,
        toPort: port,
        cidrIpv4: `${address}/32`,
        description: `Kubernetes API server, from ${client} through the load balancer`,
      });
    }
  }
}
