import type { TerraformJson } from "../cloud/terraform-json";
import { type Computed, issueTls } from "./tls-resources";

/** The machines of the default cluster by their names in Terraform. Their public addresses are reserved for documentation. */
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

/** The attributes that AWS would compute for the default cluster, if certificates or copies use them. */
export const AWS_ATTRIBUTES: Computed = {
  "aws_lb.load-balancer": { dns_name: "k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com" },
  ...Object.fromEntries(
    Object.entries(MACHINES).map(([id, { publicIp }]) => [
      `aws_instance.${id}`,
      { id: `i-of-${id}`, public_ip: publicIp },
    ]),
  ),
};

/** Issues the default cluster's keys and certificates from its JSON and {@link AWS_ATTRIBUTES}. */
export function issueDefaultCluster(json: TerraformJson): Promise<Computed> {
  return issueTls(json, AWS_ATTRIBUTES);
}

/** Issues the keys and certificates at some addresses again, as after an expiry or a change of the configuration. */
export function reissue(json: TerraformJson, computed: Computed, addresses: RegExp): Promise<Computed> {
  return issueTls(json, Object.fromEntries(Object.entries(computed).filter(([address]) => !addresses.test(address))));
}
