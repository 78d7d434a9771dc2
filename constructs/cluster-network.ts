import { Ec2SubnetCidrReservation } from "@cdktf/provider-aws/lib/ec2-subnet-cidr-reservation";
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
import { addressSlug, contains, internalDomain, reservedRanges } from "../model/addressing";
import { LIMITS, mustBe } from "../model/formats";
import { ANYWHERE } from "../model/ports";
import { assertLiteral, assertProp } from "./assertions";

/** One subnet of a {@link ClusterNetwork}. */
export interface ClusterSubnetProps {
  /** The subnet's CIDR, within the network's. */
  readonly cidrBlock: string;
  /**
   * The availability zone. A load balancer accepts one subnet per zone.
   * @default - AWS chooses
   */
  readonly availabilityZone?: string;
}

/** Properties of a {@link ClusterNetwork}. Region and CIDRs cannot be tokens: names and addresses are computed from them. */
export interface ClusterNetworkProps {
  /** The Name tag of all resources in the network: at most 32 letters, digits and hyphens. */
  readonly clusterName: string;
  /** The AWS region, which determines the domain of private host names. */
  readonly region: string;
  /** The VPC's CIDR, from /16 to /28. */
  readonly cidrBlock: string;
  /** At least one subnet. The order is a contract: machines are assigned to subnets by position. */
  readonly subnets: readonly ClusterSubnetProps[];
}

/**
 * The network of a cluster: a VPC with DHCP options, subnets with IP-based host names, and a route to the internet.
 *
 * @throws Error on a name, region or CIDR that AWS would refuse, and on a subnet outside the VPC
 */
export class ClusterNetwork extends Construct {
  /** The VPC. */
  readonly vpc: Vpc;
  /** The subnets, in the order of the props. */
  readonly subnets: readonly Subnet[];
  /** The route table of all subnets. */
  readonly routeTable: RouteTable;
  /**
   * The elements that make the internet reachable: the default route and the route table association of every subnet.
   * Resources with a public address depend on them, so that these resources are destroyed before the gateway is detached.
   */
  readonly internetAccess: readonly ITerraformDependable[];
  /**
   * The reservations that {@link reserve} added. A resource for which AWS draws addresses depends on them.
   */
  readonly reservations: ITerraformDependable[] = [];

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
          // The kubelets' certificates contain names such as ip-172-31-0-20. The account's default may be resource names.
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

  /**
   * Keeps AWS from drawing the machines' addresses for other resources, such as the load balancer, and for the most part also
   * the addresses of machines that are added later ({@link reservedRanges}). Call it once, before the load balancer is made.
   * AWS accepts a reservation of addresses that are in use, and its removal does not take them from anybody:
   * https://docs.aws.amazon.com/vpc/latest/userguide/subnet-cidr-reservation.html
   * @param addresses - the fixed addresses of the machines in the subnets
   */
  reserve(addresses: readonly string[]): void {
    for (const subnet of this.subnets) {
      const cidrBlock = subnet.cidrBlockInput as string;
      const inSubnet = addresses.filter((address) => contains(cidrBlock, `${address}/32`));
      for (const range of reservedRanges(cidrBlock, inSubnet)) {
        // The range is part of the Terraform address: reservations must not overlap, so none may move to another range.
        const id = `reservation-${addressSlug(range)}`;
        this.reservations.push(
          new Ec2SubnetCidrReservation(this, id, {
            subnetId: subnet.id,
            cidrBlock: range,
            reservationType: "explicit",
          }),
        );
      }
    }
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
