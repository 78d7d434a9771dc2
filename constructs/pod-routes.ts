import { Route } from "@cdktf/provider-aws/lib/route";
import { Construct } from "constructs";
import { LIMITS } from "../model/formats";
import { assertProp } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";
import type { ClusterNode } from "./node-fleet";

/** What {@link PodRoutes} need to know. */
export interface PodRoutesProps {
  /** The network whose route table gets the routes. */
  readonly network: ClusterNetwork;
  /** Which pods live where: each machine with the CIDR of its pods. */
  readonly podNetworks: readonly { readonly node: ClusterNode; readonly cidrBlock: string }[];
}

/**
 * A route to each machine's pods, through its primary network interface. Accounts from before June 2025 may have a
 * quota of 50 routes in a table.
 *
 * @throws Error on a malformed CIDR
 */
export class PodRoutes extends Construct {
  constructor(scope: Construct, id: string, props: PodRoutesProps) {
    super(scope, id);
    for (const { node, cidrBlock } of props.podNetworks) {
      assertProp(`podNetworks of ${node.id}`, LIMITS.cidr, cidrBlock);
      new Route(this, `pod-route-${node.id}`, {
        routeTableId: props.network.routeTable.id,
        destinationCidrBlock: cidrBlock,
        networkInterfaceId: node.instance.primaryNetworkInterfaceId,
      });
    }
  }
}
