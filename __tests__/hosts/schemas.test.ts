import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../cloud/program";
import { CLI_CONFIG } from "../../cloud/providers";
import { describeSuite } from "../../cloud/requirements";
import { effectOf, isKept } from "../../review/effects";
import { synthesizeCluster } from "../../testing/synthesize";

/** A part of a resource's schema: https://developer.hashicorp.com/terraform/cli/commands/providers/schema#block-representation. */
interface Block {
  readonly attributes?: Readonly<Record<string, { readonly optional?: boolean; readonly computed?: boolean }>>;
  readonly block_types?: Readonly<Record<string, { readonly block: Block }>>;
}

/** The paths of all arguments, and whether absence means that the object keeps its value: optional and computed. */
function argumentsOf({ attributes = {}, block_types = {} }: Block, prefix = ""): [path: string, isKept: boolean][] {
  return [
    ...Object.entries(attributes).map(([name, { optional, computed }]): [string, boolean] => [
      `${prefix}${name}`,
      optional === true && computed === true,
    ]),
    ...Object.entries(block_types).flatMap(([name, { block }]) => argumentsOf(block, `${prefix}${name}.`)),
  ];
}

describeSuite("the providers' schemas", () => {
  const folder = mkdtempSync(join(tmpdir(), "schemas-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("the table of effects has as kept exactly the known arguments that the provider has as optional and computed", async () => {
    const json = synthesizeCluster();
    writeFileSync(join(folder, "cdk.tf.json"), JSON.stringify(json));
    const env = { ...process.env, TF_CLI_CONFIG_FILE: CLI_CONFIG, CHECKPOINT_DISABLE: "1" };
    const terraform = async (...args: string[]) => {
      const { status, output } = await start(["terraform", ...args], { cwd: folder, env }).ended;
      if (status !== 0) throw new Error(output);
      return output;
    };
    await terraform("init", "-backend-config=path=terraform.tfstate", "-input=false");
    const { provider_schemas } = JSON.parse(await terraform("providers", "schema", "-json"));
    const schemas = provider_schemas["registry.terraform.io/hashicorp/aws"].resource_schemas;

    const types = Object.keys(json.resource).filter((type) => type.startsWith("aws_"));
    expect(types.length).toBeGreaterThan(15);
    for (const type of types) {
      const known = argumentsOf(schemas[type].block)
        // The whole block is optional and computed, which the JSON of schemas does not contain.
        .filter(([path]) => !path.startsWith("health_check."))
        // The provider computes `tags_all` from the tags of the resource and of the provider.
        .filter(([path]) => path !== "tags_all" && effectOf(type, path, undefined, undefined) !== undefined);
      expect([type, known.filter(([path]) => isKept(type, path)).map(([path]) => path)]).toEqual([
        type,
        known.filter(([, kept]) => kept).map(([path]) => path),
      ]);
    }
  });
});
