import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../model/user-error";
import { start } from "./program";
import type { TerraformJson } from "./terraform-json";

/** A folder in which the providers are installed once; the clusters take them from there. */
const PROVIDERS_FOLDER = join(__dirname, "..", ".cloud", "providers");

/** Terraform's configuration in the cloud: providers come from the folder above and from nowhere else. */
export const CLI_CONFIG = join(PROVIDERS_FOLDER, "terraform.rc");

/** Terraform cannot install the providers. The message has, in one line, the places that it tried and its error. */
export class NoProvidersError extends UserError {}

/**
 * Has Terraform install the providers that a cluster requires, as it is configured on this machine, unless they are
 * installed. This is the one step that needs Terraform's registry, or a mirror named in TF_CLI_CONFIG_FILE.
 * @param folder - where to @default - the folder from which {@link CLI_CONFIG} takes them
 * @throws NoProvidersError where it cannot
 */
export async function installProviders(
  { terraform: { required_providers } }: TerraformJson,
  folder = PROVIDERS_FOLDER,
): Promise<void> {
  const configuration = JSON.stringify({ terraform: { required_providers } });
  const [file, cliConfig] = [join(folder, "main.tf.json"), join(folder, "terraform.rc")];
  if (existsSync(cliConfig) && readFileSync(file, "utf8") === configuration) return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, configuration);
  const env = { ...process.env, CHECKPOINT_DISABLE: "1" };
  const { status, output } = await start(["terraform", "init", "-no-color"], { cwd: folder, env }).ended;
  if (status !== 0) throw new NoProvidersError(whyNot(output));
  // Written last: it says that all is there.
  const mirror = JSON.stringify(join(folder, ".terraform", "providers"));
  writeFileSync(cliConfig, `provider_installation {\n  filesystem_mirror {\n    path = ${mirror}\n  }\n}\n`);
}

/** The first of Terraform's errors, in one line. */
function whyNot(output: string): string {
  const [, error = output] = /^Error: (.*?)(?:\n\n(?:To see which|Error:)|(?![\s\S]))/ms.exec(output) ?? [];
  const said = error.replaceAll(/\s+/g, " ").trim();
  return `Terraform cannot install the providers, which it takes from registry.terraform.io or from a mirror that TF_CLI_CONFIG_FILE names: ${said}`;
}
