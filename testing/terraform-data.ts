import { argumentsOf, type Block, type TerraformJson } from "../cloud/terraform-json";
import type { Computed } from "./tls-resources";

/** The arguments that Terraform itself reads, in resources of any type. */
const META_ARGUMENTS = ["depends_on", "lifecycle", "provisioner", "connection"];

const REFERENCE = /\b((?:data\.)?(?:aws|tls|null)_\w+)\.([\w-]+)(?:\.([a-z_]+))?/g;

/**
 * Rewrites synthesized JSON so that real Terraform applies it without a provider. Each resource `T.N` becomes
 * `terraform_data.T__N`. Its input is the arguments of the resource, and the attributes that other resources refer to.
 * The order, provisioners, connections, postconditions and triggers of replacements are the same.
 * @param json - the synthesized JSON
 * @param computed - attributes that the providers would compute. The value of a missing one is its own address.
 */
export function toTerraformData(json: TerraformJson, computed: Computed = {}): Block {
  const elements = [...blocksOf(json.resource), ...blocksOf(json.data ?? {}, "data.")];
  const attributes = new Map(elements.map(([address]) => [address, { ...computed[address] }]));
  const blocks = new Map(elements);

  for (const [, type, name, attribute] of JSON.stringify(json).matchAll(REFERENCE)) {
    const address = `${type}.${name}`;
    const knownAttributes = attributes.get(address);
    if (knownAttributes === undefined || attribute === undefined) continue;
    if (blocks.get(address)?.[attribute] === undefined) knownAttributes[attribute] ??= `${address}.${attribute}`;
  }

  const rewritten = elements.map(([address, block]) => {
    const { triggers, ...args } = argumentsOf(block);
    const own = Object.entries(args).filter(([argument]) => !META_ARGUMENTS.includes(argument));
    const { ignore_changes: _ignored, ...lifecycle } = args.lifecycle ?? {};
    return [
      dataName(address),
      {
        input: { ...Object.fromEntries(own), ...attributes.get(address) },
        triggers_replace: triggers,
        depends_on: args.depends_on,
        connection: args.connection,
        provisioner: args.provisioner,
        lifecycle,
      },
    ];
  });

  return rename({
    terraform: { required_version: json.terraform.required_version },
    resource: { terraform_data: Object.fromEntries(rewritten) },
    output: json.output,
  }) as Block;
}

/** The name that a resource or data source has after {@link toTerraformData}. */
export function dataName(address: string): string {
  return address.replaceAll(".", "__");
}

/** The address that a resource or data source had before {@link toTerraformData}. */
export function originalAddress(dataAddress: string): string {
  return dataAddress.replace(/^terraform_data\./, "").replaceAll("__", ".");
}

function blocksOf(blocks: Record<string, Record<string, Block>>, prefix = ""): [string, Block][] {
  return Object.entries(blocks).flatMap(([type, byName]) =>
    Object.entries(byName).map(([name, block]): [string, Block] => [`${prefix}${type}.${name}`, block]),
  );
}

/** Renames references in all expressions. References in `depends_on` and `replace_triggered_by` have no attribute. */
function rename(value: unknown): unknown {
  if (typeof value === "string") {
    return value
      .replace(REFERENCE, (_reference, type, name, attribute) => {
        const renamed = `terraform_data.${dataName(`${type}.${name}`)}`;
        return attribute === undefined ? renamed : `${renamed}.output.${attribute}`;
      })
      .replaceAll("self.public_ip", "self.output.public_ip");
  }
  if (Array.isArray(value)) return value.map(rename);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rename(inner)]));
  }
  return value;
}
