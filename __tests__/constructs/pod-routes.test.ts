import { argumentsOf, resourcesOf } from "../../cloud/terraform-json";
import { PodRoutes } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

function podRoutes(cidrs: readonly string[]) {
  const json = synthesizeConstructs((scope) => {
    const { network, nodes } = someMachines(scope, cidrs.length);
    const podNetworks = nodes.map((node, index) => ({ node, cidrBlock: cidrs[index] as string }));
    new PodRoutes(scope, "pods", { network, podNetworks });
  });
  const machines = Object.keys(resourcesOf(json, "aws_instance"));
  const routes = Object.entries(resourcesOf(json, "aws_route")).filter(([name]) => name.startsWith("pods_"));
  return { machines, routes: routes.map(([, route]) => argumentsOf(route)) };
}

test("each machine's pods get a route through the machine's interface", () => {
  const { machines, routes } = podRoutes(["172.20.0.0/24", "172.20.1.0/24"]);
  expect(routes).toEqual(
    machines.map((machine, index) => ({
      route_table_id: expect.stringMatching(/^\$\{aws_route_table\.net_route-table_\w+\.id\}$/),
      destination_cidr_block: `172.20.${index}.0/24`,
      network_interface_id: `$\{aws_instance.${machine}.primary_network_interface_id}`,
    })),
  );
});

test("a malformed pod network is refused", () => {
  expect(() => podRoutes(["172.20.0.1/24"])).toThrow(
    new Error(
      `'podNetworks of worker-0' must be an IPv4 CIDR without host bits, such as 172.31.0.0/24, got: "172.20.0.1/24"`,
    ),
  );
});
