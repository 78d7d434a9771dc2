import { Lb } from "@cdktf/provider-aws/lib/lb";
import { LbListener } from "@cdktf/provider-aws/lib/lb-listener";
import { LbTargetGroup } from "@cdktf/provider-aws/lib/lb-target-group";
import { LbTargetGroupAttachment } from "@cdktf/provider-aws/lib/lb-target-group-attachment";
import { dependable, Token } from "cdktf";
import { Construct } from "constructs";
import { addressSlug } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { API_HEALTH_CHECK } from "../model/ports";
import { assertProp } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";
import type { ClusterSecurityGroups } from "./cluster-security-groups";

/** Properties of a {@link ControlPlaneNlb}. */
export interface ControlPlaneNlbProps {
  /** The name of the load balancer and the target group: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The network with the subnets of the load balancer. Its addresses for machines are already reserved. */
  readonly network: ClusterNetwork;
  /** The private IPv4 addresses of the targets; at least one. */
  readonly targetAddresses: readonly string[];
  /**
   * The security groups of the machines. They have the port of the listener and the targets, and whether everybody may reach
   * it. If not, the load balancer preserves its clients' addresses, so that the rules apply to the clients. Otherwise the
   * rules would see only the load balancer's address and allow every client of it.
   */
  readonly securityGroups: ClusterSecurityGroups;
  /**
   * The path that answers with a status from 200 to 399 over HTTPS if a target is healthy, asked every 5 seconds. Two answers
   * change the health of a target.
   * @default - a target is healthy if its port accepts connections, by AWS's default every 30 seconds
   */
  readonly healthPath?: string;
}

/**
 * The public address of the API servers: a network load balancer in all subnets, a TCP listener, and a target group of fixed
 * private addresses, which may be registered before their machines exist.
 *
 * @throws Error if AWS would refuse the name or an address
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
      // The gateway cannot be detached while the load balancer has public addresses. And AWS draws an address in each subnet,
      // which must not be one of a machine.
      dependsOn: [...network.internetAccess, ...network.reservations],
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
      healthCheck: props.healthPath === undefined ? undefined : { ...API_HEALTH_CHECK, path: props.healthPath },
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
      // AWS does not delete a target group in use, and two groups cannot have the same name, so the listener must be
      // replaced with the group. The trigger is the ARN, which changes only with a replacement. With the whole group as
      // trigger, every change of a tag would replace the listener.
      lifecycle: { replaceTriggeredBy: [`${dependable(targetGroup)}.arn`] },
    });
  }
}
