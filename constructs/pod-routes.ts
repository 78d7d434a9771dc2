import { Route } from "@cdktf/provider-aws/lib/route";
import { Construct } from "constructs";
import { LIMITS } from "../model/formats";
import { assertProp } from "./assertions";
import type { ClusterNetwork } from "./cluster-network";
import type { ClusterNode } from "./node-fleet";

/** Properties of {@link PodRoutes}. */
export interface PodRoutesProps {
  /** The network whose route table gets the routes. */
  readonly network: ClusterNetwork;
  /** The machines, each with the CIDR of its pods. */
  readonly podNetworks: readonly { readonly node: ClusterNode; readonly cidrBlock: string }[];
}

/**
 * A route to the pods of each machine, through the machine's primary network interface. Accounts from before June 2025 may
 * have a quota of 50 routes in a table.
 *
 * @throws Error if a CIDR is malformed
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
