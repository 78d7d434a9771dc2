import { Lb } from "@cdktf/provider-aws/lib/lb";
import { LbListener } from "@cdktf/provider-aws/lib/lb-listener";
import { LbTargetGroup } from "@cdktf/provider-aws/lib/lb-target-group";
import { LbTargetGroupAttachment } from "@cdktf/provider-aws/lib/lb-target-group-attachment";
import { dependable, Token } from "cdktf";
import { Construct } from "constructs";
import { addressSlug } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { assertProp } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";
import type { ClusterSecurityGroups } from "./cluster-security-groups";

/** What a {@link ControlPlaneNlb} needs to know. */
export interface ControlPlaneNlbProps {
  /** The load balancer's and the target group's name: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The network whose subnets it serves. */
  readonly network: ClusterNetwork;
  /** The private IPv4 addresses that it forwards to; at least one. */
  readonly targetAddresses: readonly string[];
  /**
   * The security groups of the machines: they say the port that it listens on and forwards to, and whether everybody
   * may reach it. If not, the load balancer preserves its clients' addresses, so that the rules meet clients: without,
   * they meet the load balancer alone, and whoever reaches it gets through.
   */
  readonly securityGroups: ClusterSecurityGroups;
}

/**
 * The public address of the API servers: a network load balancer over all subnets, a TCP listener, and a target group
 * of fixed private addresses, which may be registered before their machines exist.
 *
 * @throws Error on a name or address that AWS would refuse
 */
export class ControlPlaneNlb extends Construct {
  /** The load balancer. */
  readonly loadBalancer: Lb;
  /** The public name at which the API servers are reached. */
  readonly dnsName: string;

  constructor(scope: Construct, id: string, props: ControlPlaneNlbProps) {
    super(scope, id);
    const { clusterName, network, securityGroups, targetAddresses } = props;
    const port = securityGroups.apiServerPort;
    assertProp("clusterName", LIMITS.clusterName, clusterName);
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
      // Always set: if omitted, the provider keeps the previous value.
      preserveClientIp: String(!securityGroups.isApiOpen),
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
  }
}
