import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import { Construct } from "constructs";
import { LIMITS } from "../model/formats";
import { ANYWHERE } from "../model/ports";
import { type Access, isApiOpen, MEMBERS, type SecurityRule, securityRules } from "../model/security-rules";
import { assertLiteral, assertProp, assertWholeNumber } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";

/** Properties of {@link ClusterSecurityGroups}. */
export interface ClusterSecurityGroupsProps {
  /** The security group's name: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The network of the machines. */
  readonly network: ClusterNetwork;
  /** CIDRs that may connect from outside. */
  readonly access: Access;
  /** The TCP port of the API server, at the machines and at the load balancer. */
  readonly apiServerPort: number;
  /** The CIDR of the pods, from which all traffic is allowed. @default - no rules for pods */
  readonly podCidrBlock?: string;
}

/**
 * The security group of all machines and its rules. Each rule of `securityRules` is one resource; one more rule allows all
 * outbound traffic. The group's own resource has no rules: these and the separate ones would remove each other.
 *
 * @throws Error if AWS would refuse a name, CIDR or port
 */
export class ClusterSecurityGroups extends Construct {
  /** The security group of all machines. */
  readonly nodes: SecurityGroup;
  /** The TCP port of the API server. */
  readonly apiServerPort: number;
  /** Whether everybody may reach the API server. */
  readonly isApiOpen: boolean;
  private readonly ruleNames = new Set<string>();

  constructor(
    scope: Construct,
    id: string,
    private readonly props: ClusterSecurityGroupsProps,
  ) {
    super(scope, id);
    checkProps(props);
    const { clusterName, network, access, apiServerPort } = props;
    this.apiServerPort = apiServerPort;
    this.isApiOpen = isApiOpen(access);
    this.nodes = new SecurityGroup(this, "security-group", {
      name: clusterName,
      description: "Kubernetes cluster security group",
      vpcId: network.vpc.id,
      tags: { Name: clusterName },
    });
    this.addRules();
    new VpcSecurityGroupEgressRule(this, "node-all-to-anywhere", {
      securityGroupId: this.nodes.id,
      ipProtocol: "-1",
      cidrIpv4: ANYWHERE,
      description: "Everything outbound",
    });
  }

  /**
   * Allows machines to reach the API server through the load balancer. Adds no rules if everybody may reach it.
   * @param publicAddresses - the machines' public addresses, by node id
   */
  admitThroughLoadBalancer(publicAddresses: Readonly<Record<string, string>>): void {
    this.addRules(publicAddresses);
  }

  private addRules(publicAddresses: Readonly<Record<string, string>> = {}): void {
    const { network, ...props } = this.props;
    const subnets = network.subnets.map((subnet) => subnet.cidrBlockInput as string);
    for (const rule of securityRules({ ...props, subnets, publicAddresses })) {
      if (this.ruleNames.has(rule.name)) continue;
      this.ruleNames.add(rule.name);
      this.addRule(rule);
    }
  }

  private addRule({ name, protocol, ports, source, description }: SecurityRule): void {
    new VpcSecurityGroupIngressRule(this, name, {
      securityGroupId: this.nodes.id,
      ipProtocol: protocol,
      fromPort: ports?.[0],
      toPort: ports?.[1],
      ...(source === MEMBERS ? { referencedSecurityGroupId: this.nodes.id } : { cidrIpv4: source }),
      description,
    });
  }
}

function checkProps({ clusterName, access, apiServerPort, podCidrBlock }: ClusterSecurityGroupsProps): void {
  assertProp("clusterName", LIMITS.clusterName, clusterName);
  assertWholeNumber("apiServerPort", { min: 1, max: 65535 }, apiServerPort);
  for (const [purpose, sources] of Object.entries(access)) {
    sources.forEach((source: string, index: number) => {
      assertLiteral(`access.${purpose}[${index}]`, LIMITS.cidr, source);
    });
  }
  if (podCidrBlock !== undefined) assertLiteral("podCidrBlock", LIMITS.podCidr, podCidrBlock);
}
