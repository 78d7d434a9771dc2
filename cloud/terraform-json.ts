/** Synthesized Terraform JSON. Only the parts that tests read are declared. */
export interface TerraformJson {
  readonly terraform: {
    readonly required_version: string;
    readonly required_providers: Record<string, { readonly source: string; readonly version: string }>;
    readonly backend: Record<string, Block>;
  };
  readonly provider: Record<string, Block[]>;
  readonly data?: Record<string, Record<string, Block>>;
  readonly resource: Record<string, Record<string, Block>>;
  readonly output: Record<string, Block>;
}

/** The arguments of a block. */
// biome-ignore lint/suspicious/noExplicitAny: each provider defines the arguments of its blocks
export type Block = Record<string, any>;

/** The resources of one type, by name; empty if there are none. */
export function resourcesOf(json: TerraformJson, type: string): Record<string, Block> {
  return json.resource[type] ?? {};
}

/** A resource or data source by its Terraform address. @throws Error if there is none */
export function blockAt(json: TerraformJson, address: string): Block {
  const isData = address.startsWith("data.");
  const [type, name] = (isData ? address.slice("data.".length) : address).split(".") as [string, string];
  const block = (isData ? json.data : json.resource)?.[type]?.[name];
  if (block === undefined) throw new Error(`there is no ${address}`);
  return block;
}

/** The addresses of all resources and data sources, sorted. */
export function addressesOf(json: TerraformJson): string[] {
  const list = (blocks: Record<string, Record<string, Block>> = {}, prefix = "") =>
    Object.entries(blocks).flatMap(([type, byName]) => Object.keys(byName).map((name) => `${prefix}${type}.${name}`));
  return [...list(json.resource), ...list(json.data, "data.")].sort();
}

/** A resource's arguments without cdktf's metadata. */
export function argumentsOf(block: Block): Block {
  const { "//": _metadata, ...rest } = block;
  return rest;
}
