import type { TerraformJson } from "../cloud/terraform-json";
import { type Computed, carryOutTls } from "./tls-resources";

/** The machines of the default cluster by their names in Terraform, each with a public address for documentation. */
export const MACHINES: Readonly<Record<string, { readonly publicIp: string; readonly privateIp: string }>> =
  Object.fromEntries(
    ["master", "worker"].flatMap((role, fleet) =>
      [0, 1, 2].map((index) => {
        const hostNumber = 10 * (fleet + 1) + index;
        return [
          `${role}-${index}`,
          { publicIp: `198.51.100.${hostNumber}`, privateIp: `172.31.0.${hostNumber}` },
        ] as const;
      }),
    ),
  );

/** What AWS would compute for the default cluster, as far as certificates and copies refer to it. */
export const AWS_ATTRIBUTES: Computed = {
  "aws_lb.load-balancer": { dns_name: "k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com" },
  ...Object.fromEntries(
    Object.entries(MACHINES).map(([id, { publicIp }]) => [
      `aws_instance.${id}`,
      { id: `i-of-${id}`, public_ip: publicIp },
    ]),
  ),
};

/** The default cluster's keys and certificates, made from its JSON, with what AWS would compute. */
export function issueDefaultCluster(json: TerraformJson): Promise<Computed> {
  return carryOutTls(json, AWS_ATTRIBUTES);
}

/** The same with what is at some addresses made anew, as after an expiry, or from a configuration that was changed. */
export function reissue(json: TerraformJson, computed: Computed, addresses: RegExp): Promise<Computed> {
  return carryOutTls(
    json,
    Object.fromEntries(Object.entries(computed).filter(([address]) => !addresses.test(address))),
  );
}
