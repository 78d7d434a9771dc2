import { InternetGateway } from "@cdktf/provider-aws/lib/internet-gateway";
import { Route } from "@cdktf/provider-aws/lib/route";
import { RouteTable } from "@cdktf/provider-aws/lib/route-table";
import { RouteTableAssociation } from "@cdktf/provider-aws/lib/route-table-association";
import { Subnet } from "@cdktf/provider-aws/lib/subnet";
import { Vpc } from "@cdktf/provider-aws/lib/vpc";
import { VpcDhcpOptions } from "@cdktf/provider-aws/lib/vpc-dhcp-options";
import { VpcDhcpOptionsAssociation } from "@cdktf/provider-aws/lib/vpc-dhcp-options-association";
import type { ITerraformDependable } from "cdktf";
import { Construct } from "constructs";
import { contains, internalDomain } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { ANYWHERE } from "../model/ports";
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

/** What a {@link ClusterNetwork} needs to know. Its region and CIDRs are plain texts, no tokens: names and addresses are computed from them. */
export interface ClusterNetworkProps {
  /** The Name tag of everything in it: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The AWS region, which gives the private host names their domain. */
  readonly region: string;
  /** The VPC's addresses: a CIDR of /16 to /28. */
  readonly cidrBlock: string;
  /** At least one subnet; their order is a contract, since machines are spread over them by position. */
  readonly subnets: readonly ClusterSubnetProps[];
}

/**
 * The network of a cluster: a VPC with its DHCP options, subnets whose machines are named after their addresses, and a
 * route to the internet.
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
  }
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
}
