import { describeSuite } from "../../cloud/requirements";
import { addressesOf, type Block, blockAt, type TerraformJson } from "../../cloud/terraform-json";
import { synthesizeCluster } from "../../testing/synthesize";
import { TerraformFolder } from "../../testing/terraform";
import { dataName, originalAddress, toTerraformData } from "../../testing/terraform-data";

/** Pairs of resources that must be created in this order. Destroy uses the reverse order. */
const ORDERS: readonly (readonly [later: string, earlier: string])[] = [
  // The gateway cannot be detached while public addresses exist, so machines and load balancer are destroyed first.
  ...["aws_instance.master-0", "aws_instance.worker-2", "aws_lb.load-balancer"].flatMap((later) =>
    ["aws_route.default-route", "aws_route_table_association.subnet-0-route-table"].map(
      (earlier) => [later, earlier] as const,
    ),
  ),
  // AWS must not draw a machine's address for the load balancer.
  ...["172-31-0-0-25", "172-31-0-128-26", "172-31-0-192-27"].map(
    (range) => ["aws_lb.load-balancer", `aws_ec2_subnet_cidr_reservation.reservation-${range}`] as const,
  ),
  ["aws_route.default-route", "aws_internet_gateway.internet-gateway"],
  // A copy needs its machine and the copied files. (Some of these orders also follow from another path: a worker's
  // certificate contains its machine's address. For those, the construct's own test checks the reference.)
  ["null_resource.pems-master-1", "aws_instance.master-1"],
  ["null_resource.pems-master-1", "tls_locally_signed_cert.master-kubernetes-certificate"],
  ["null_resource.pems-master-1", "tls_locally_signed_cert.service-account-certificate"],
  ["null_resource.pems-worker-1", "tls_locally_signed_cert.worker-1-certificate"],
  // Certificates contain values that are known late: public addresses, and the load balancer's name.
  ["tls_cert_request.worker-1-request", "aws_instance.worker-1"],
  ["tls_cert_request.master-kubernetes-request", "aws_lb.load-balancer"],
  ["tls_locally_signed_cert.kube-proxy-certificate", "tls_self_signed_cert.ca-certificate"],
  ["aws_lb_listener.listener", "aws_lb_target_group.target-group"],
  ["aws_route.pod-route-worker-0", "aws_instance.worker-0"],
  ["aws_instance.worker-0", "aws_key_pair.key-pair"],
];

/** Pairs of resources that must not wait for each other, because that would make a deploy longer. */
const INDEPENDENCE: readonly (readonly [address: string, of: string])[] = [
  // The load balancer takes minutes.
  ...[0, 1, 2].map((index) => [`null_resource.pems-worker-${index}`, "aws_lb.load-balancer"] as const),
  ...[0, 1, 2].map((index) => [`aws_instance.master-${index}`, "aws_lb.load-balancer"] as const),
  ["aws_lb.load-balancer", "aws_instance.master-0"],
  ["null_resource.pems-worker-0", "null_resource.pems-worker-1"],
];

describeSuite("real Terraform", () => {
  const json = synthesizeCluster();
  const terraform = new TerraformFolder();

  beforeAll(async () => {
    terraform.configure(toTerraformData(json));
    await terraform.run("init", "-no-color");
  });
  afterAll(() => terraform.remove());

  test("accepts the configuration", async () => {
    terraform.configure(toTerraformData(json));
    expect(await terraform.run("validate", "-no-color")).toContain("Success! The configuration is valid.");
  });

  test("accepts several subnets, closed access and state in S3", async () => {
    const other = synthesizeCluster({
      name: "other",
      network: {
        subnets: [
          { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
          { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
        ],
      },
      access: { api: ["192.0.2.0/24"] },
      backend: { type: "s3", bucket: "states" },
      image: { id: "ami-0123456789abcdef0" },
      pki: { earlyRenewalHours: 720 },
    });
    terraform.configure(toTerraformData(other));
    expect(await terraform.run("validate", "-no-color")).toContain("Success! The configuration is valid.");
  });

  test("plans every resource once", async () => {
    terraform.configure(toTerraformData(json));
    const plan = await terraform.run("plan", "-no-color");
    const planned = [...plan.matchAll(/# (terraform_data\.\S+) will be created/g)].map(([, address]) =>
      originalAddress(address as string),
    );
    expect(planned.sort()).toEqual(addressesOf(json));
    expect(plan).toContain(`Plan: ${addressesOf(json).length} to add, 0 to change, 0 to destroy.`);
  });

  describe("order of creation:", () => {
    let comesAfter: (later: string, earlier: string) => boolean;
    beforeAll(async () => {
      comesAfter = await graphOf(json);
    });

    test.each(ORDERS)("%s comes after %s", (later, earlier) => {
      expect(comesAfter(later, earlier)).toBe(true);
    });

    test.each(INDEPENDENCE)("%s does not wait for %s", (address, of) => {
      expect(comesAfter(address, of)).toBe(false);
    });

    test.each(ORDERS)("no other reference makes %s come after %s", async (later, earlier) => {
      expect((await graphOf(without(later, earlier)))(later, earlier)).toBe(false);
    });
  });

  test("a listener is replaced with its target group", async () => {
    const { null_resource: _copies, ...resource } = json.resource;
    terraform.configure(toTerraformData({ ...json, resource }));
    await terraform.run("apply", "-auto-approve", "-no-color");
    const target = `terraform_data.${dataName("aws_lb_target_group.target-group")}`;
    const plan = await terraform.run("plan", "-no-color", `-replace=${target}`);

    expect(plan).toContain(`terraform_data.${dataName("aws_lb_listener.listener")} will be replaced`);
  });

  /** A function that reads from Terraform's own graph whether a resource of a configuration comes after another. */
  async function graphOf(configuration: TerraformJson): Promise<(later: string, earlier: string) => boolean> {
    terraform.configure(toTerraformData(configuration));
    const graph = await terraform.run("graph");
    const edges = new Map<string, string[]>();
    for (const [, from, to] of graph.matchAll(/"(\S+)" -> "(\S+)"/g)) {
      edges.set(originalAddress(from as string), [
        ...(edges.get(originalAddress(from as string)) ?? []),
        originalAddress(to as string),
      ]);
    }
    const reachable = (from: string, seen = new Set<string>()): Set<string> => {
      for (const to of edges.get(from) ?? []) {
        if (!seen.has(to)) reachable(to, seen.add(to));
      }
      return seen;
    };
    return (later, earlier) => reachable(later).has(earlier);
  }

  /** The configuration without a resource's references to another and without its dependency on it. */
  function without(later: string, earlier: string): TerraformJson {
    const reference = new RegExp(`\\b${earlier}\\.\\w+`, "g");
    const withoutReference = (value: unknown): unknown => {
      if (Array.isArray(value))
        return value.filter((element) => element !== earlier && element !== `${earlier}.arn`).map(withoutReference);
      if (typeof value === "string") return value.replaceAll(reference, "true");
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutReference(inner)]));
    };
    const [type, name] = later.split(".") as [string, string];
    const byName = { ...json.resource[type], [name]: withoutReference(blockAt(json, later)) as Block };
    return { ...json, resource: { ...json.resource, [type]: byName } };
  }
});
