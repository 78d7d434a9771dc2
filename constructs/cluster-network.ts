import { InternetGateway } from "@cdktf/provider-aws/lib/internet-gateway";
import { Route } from "@cdktf/provider-aws/lib/route";
import { RouteTable } from "@cdktf/provider-aws/lib/route-table";
import { RouteTableAssociation } from "@cdktf/provider-aws/lib/route-table-association";
import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group";
import { Subnet } from "@cdktf/provider-aws/lib/subnet";
import { Vpc } from "@cdktf/provider-aws/lib/vpc";
import { VpcDhcpOptions } from "@cdktf/provider-aws/lib/vpc-dhcp-options";
import { VpcDhcpOptionsAssociation } from "@cdktf/provider-aws/lib/vpc-dhcp-options-association";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import type { ITerraformDependable } from "cdktf";
import { Construct } from "constructs";
import { addressSlug, contains, internalDomain } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { ANYWHERE, API_SERVER_PORT } from "../model/ports";
import { assertLiteral, assertProp } from "./assertions";

/** One subnet of a {@link ClusterNetwork}. */
export interface ClusterSubnetProps {
  /** The subnet's addresses: a CIDR within the network's. */
  readonly cidrBlock: string;
  /**
   * The zone it lies in. A load balancer takes one subnet per zone.
   * @default - AWS chooses
   */
  readonly availabilityZone?: string;
}

/** Who may reach the machines from outside, as IPv4 CIDRs, each at most once. An empty list lets nobody in. */
export interface IngressProps {
  /** TCP 22. @default ["0.0.0.0/0"] */
  readonly ssh?: readonly string[];
  /**
   * TCP 6443. Where this is not the world, the subnets are let in as well: a load balancer's health checks come
   * from there.
   * @default ["0.0.0.0/0"]
   */
  readonly api?: readonly string[];
  /** All ICMP. @default ["0.0.0.0/0"] */
  readonly icmp?: readonly string[];
}

/** What a {@link ClusterNetwork} needs to know. Its region and CIDRs are plain texts, no tokens: names and addresses are computed from them. */
export interface ClusterNetworkProps {
  /** The Name tag of everything in it, and the security group's name: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The AWS region, which gives the private host names their domain. */
  readonly region: string;
  /** The VPC's addresses: a CIDR of /16 to /28. */
  readonly cidrBlock: string;
  /** At least one subnet; their order is a contract, since machines are spread over them by position. */
  readonly subnets: readonly ClusterSubnetProps[];
  /** @default - everybody may reach ssh, the API and ICMP, as in the tutorial */
  readonly ingress?: IngressProps;
  /**
   * The addresses of pods. Where given, everything is let in from there, and between members of the security group:
   * pod traffic is not masked, and a rule that refers to a group matches machine addresses alone.
   * @default - no such rules
   */
  readonly podCidrBlock?: string;
}

/**
 * The network of a cluster: a VPC with its DHCP options, subnets whose machines are named after their addresses,
 * a route to the internet, and the one security group of all machines.
 *
 * @throws Error on a name, region or CIDR that AWS would refuse, and on a subnet outside the VPC
 */
export class ClusterNetwork extends Construct {
  /** The VPC. */
  readonly vpc: Vpc;
  /** The subnets, in the order of the props. */
  readonly subnets: readonly Subnet[];
  /** The one route table, which all subnets share. */
  readonly routeTable: RouteTable;
  /** The security group for the machines. */
  readonly securityGroup: SecurityGroup;
  /**
   * "The internet is reachable": the default route and every subnet's association with its table. What has a public
   * address depends on this, so that it goes before the gateway is detached.
   */
  readonly internetAccess: readonly ITerraformDependable[];

  constructor(scope: Construct, id: string, props: ClusterNetworkProps) {
    super(scope, id);
    checkProps(props);
    const tags = { Name: props.clusterName };

    this.vpc = new Vpc(this, "vpc", {
      cidrBlock: props.cidrBlock,
      enableDnsSupport: true,
      enableDnsHostnames: true,
      tags,
    });
    const vpcId = this.vpc.id;

    const dhcpOptions = new VpcDhcpOptions(this, "dhcp-options", {
      domainName: internalDomain(props.region),
      domainNameServers: ["AmazonProvidedDNS"],
      tags,
    });
    new VpcDhcpOptionsAssociation(this, "dhcp-options-association", { vpcId, dhcpOptionsId: dhcpOptions.id });

    this.subnets = props.subnets.map(
      ({ cidrBlock, availabilityZone }, index) =>
        new Subnet(this, `subnet-${index}`, {
          vpcId,
          cidrBlock,
          availabilityZone,
          // The kubelets' certificates certify names like ip-172-31-0-20; accounts may default to resource names.
          privateDnsHostnameTypeOnLaunch: "ip-name",
          tags,
        }),
    );

    const gateway = new InternetGateway(this, "internet-gateway", { vpcId, tags });
    this.routeTable = new RouteTable(this, "route-table", { vpcId, tags });
    const routeTableId = this.routeTable.id;
    const defaultRoute = new Route(this, "default-route", {
      routeTableId,
      destinationCidrBlock: ANYWHERE,
      gatewayId: gateway.id,
    });
    this.internetAccess = [
      defaultRoute,
      ...this.subnets.map(
        (subnet, index) =>
          new RouteTableAssociation(this, `subnet-${index}-route-table`, { routeTableId, subnetId: subnet.id }),
      ),
    ];

    this.securityGroup = new SecurityGroup(this, "security-group", {
      name: props.clusterName,
      description: "Kubernetes cluster security group",
      vpcId,
      tags,
    });
    this.addRules(props);
  }

  /** Rules are resources of their own: mixed with rules inside the group, each would undo the other's. */
  private addRules(props: ClusterNetworkProps): void {
    const securityGroupId = this.securityGroup.id;

    for (const { name, protocol, ports, sources, description } of ingressRules(props)) {
      for (const cidrIpv4 of sources) {
        // The source is part of the address: taken by position, a rule removed from the front of a list would turn
        // each rule into its neighbour, which AWS refuses as a duplicate.
        new VpcSecurityGroupIngressRule(this, `${name}-from-${addressSlug(cidrIpv4)}`, {
          securityGroupId,
          ipProtocol: protocol,
          fromPort: ports?.[0],
          toPort: ports?.[1],
          cidrIpv4,
          description,
        });
      }
    }
    if (props.podCidrBlock !== undefined) {
      new VpcSecurityGroupIngressRule(this, "node-all-from-members", {
        securityGroupId,
        ipProtocol: "-1",
        referencedSecurityGroupId: securityGroupId,
        description: "Everything between the machines of the cluster",
      });
    }
    new VpcSecurityGroupEgressRule(this, "node-all-to-anywhere", {
      securityGroupId,
      ipProtocol: "-1",
      cidrIpv4: ANYWHERE,
      description: "Everything outbound",
    });
  }
}

/** A row of the security group's table: one rule for each source. */
interface IngressRule {
  /** `<role>-<purpose>`, the start of the rule's Terraform address. */
  readonly name: string;
  readonly protocol: "tcp" | "icmp" | "-1";
  /** First and last port, or ICMP's type and code, where -1 is any. @default - none, for all protocols */
  readonly ports?: readonly [number, number];
  readonly sources: readonly string[];
  readonly description: string;
}

function ingressRules(props: ClusterNetworkProps): IngressRule[] {
  const subnets = props.subnets.map(({ cidrBlock }) => cidrBlock);
  const { ssh = [ANYWHERE], api = [ANYWHERE], icmp = [ANYWHERE] } = props.ingress ?? {};
  const apiSources = api.includes(ANYWHERE) ? api : [...new Set([...api, ...subnets])];

  return [
    {
      name: "control-plane-etcd",
      protocol: "tcp",
      ports: [2379, 2380],
      sources: subnets,
      description: "etcd clients and peers",
    },
    {
      name: "worker-node-ports",
      protocol: "tcp",
      ports: [30000, 32767],
      sources: subnets,
      description: "Services of type NodePort",
    },
    {
      name: "control-plane-api",
      protocol: "tcp",
      ports: [API_SERVER_PORT, API_SERVER_PORT],
      sources: apiSources,
      description: "Kubernetes API server",
    },
    { name: "node-ssh", protocol: "tcp", ports: [22, 22], sources: ssh, description: "SSH" },
    { name: "node-icmp", protocol: "icmp", ports: [-1, -1], sources: icmp, description: "All ICMP" },
    {
      name: "node-all",
      protocol: "-1",
      sources: props.podCidrBlock === undefined ? [] : [props.podCidrBlock],
      description: "Everything from the pod network",
    },
  ];
}

function checkProps(props: ClusterNetworkProps): void {
  assertProp("clusterName", LIMITS.clusterName, props.clusterName);
  assertLiteral("region", LIMITS.region, props.region);
  assertLiteral("cidrBlock", LIMITS.vpcCidr, props.cidrBlock);
  if (props.subnets.length === 0) throw new Error(mustBe("subnets", "a list of at least one subnet", props.subnets));
  props.subnets.forEach(({ cidrBlock, availabilityZone }, index) => {
    assertLiteral(`subnets[${index}].cidrBlock`, LIMITS.vpcCidr, cidrBlock);
    if (availabilityZone !== undefined) {
      assertProp(`subnets[${index}].availabilityZone`, LIMITS.availabilityZone, availabilityZone);
    }
    if (!contains(props.cidrBlock, cidrBlock)) {
      throw new Error(mustBe(`subnets[${index}].cidrBlock`, `within 'cidrBlock', ${props.cidrBlock}`, cidrBlock));
    }
  });
  for (const [purpose, sources] of Object.entries(props.ingress ?? {})) {
    sources?.forEach((source: string, index: number) => {
      assertLiteral(`ingress.${purpose}[${index}]`, LIMITS.cidr, source);
    });
  }
  if (props.podCidrBlock !== undefined) assertLiteral("podCidrBlock", LIMITS.podCidr, props.podCidrBlock);
}
