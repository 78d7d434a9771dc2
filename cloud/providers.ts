import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PROVIDER_HOSTS, terraformEnvironment, terraformProgram } from "../model/terraform";
import { UserError } from "../model/user-error";
import { start } from "./program";
import type { TerraformJson } from "./terraform-json";

/** The folder in which the providers are installed once, for all clusters. */
const PROVIDERS_FOLDER = join(__dirname, "..", ".cloud", "providers");

/** Terraform's configuration in the cloud. Terraform takes providers only from the folder above. */
export const CLI_CONFIG = join(PROVIDERS_FOLDER, "terraform.rc");

/** Terraform cannot install the providers. The message is one line with the places it tried and Terraform's error. */
export class NoProvidersError extends UserError {}

/**
 * Installs the providers that a cluster requires, unless they are installed. It runs Terraform with its configuration on
 * this machine. Only this step needs its registry, or a mirror named in TF_CLI_CONFIG_FILE.
 * @param folder - the target folder @default - the folder from which {@link CLI_CONFIG} takes the providers
 * @throws NoProvidersError if Terraform cannot install them
 */
export async function installProviders(
  { terraform: { required_providers } }: TerraformJson,
  folder = PROVIDERS_FOLDER,
): Promise<void> {
  const configuration = JSON.stringify({ terraform: { required_providers } });
  const [file, cliConfig] = [join(folder, "main.tf.json"), join(folder, "terraform.rc")];
  const installed = join(folder, ".terraform", "providers");
  if (existsSync(cliConfig) && readFileSync(file, "utf8") === configuration) return shareProviders(installed);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, configuration);
  const env = terraformEnvironment();
  const { status, output } = await start([terraformProgram(), "init", "-no-color"], { cwd: folder, env }).ended;
  if (status !== 0) throw new NoProvidersError(reason(output));
  shareProviders(installed);
  // Written last: this file marks a complete installation.
  const mirror = JSON.stringify(installed);
  writeFileSync(cliConfig, `provider_installation {\n  filesystem_mirror {\n    path = ${mirror}\n  }\n}\n`);
}

/**
 * Adds the other names of providers to a mirror, with links, so that both Terraform and OpenTofu find them there.
 * @param mirror - a folder of unpacked providers, with HOST/NAMESPACE/TYPE/VERSION/PLATFORM in it
 */
export function shareProviders(mirror: string): void {
  for (const path of readdirSync(mirror, { recursive: true, encoding: "utf8" })) {
    const [from = "", ...rest] = path.split("/");
    if (!PROVIDER_HOSTS.some((host) => host === from) || rest.length !== 4) continue;
    for (const host of PROVIDER_HOSTS) {
      const target = join(mirror, host, ...rest);
      if (existsSync(target)) continue;
      mkdirSync(dirname(target), { recursive: true });
      symlinkSync(join(mirror, path), target);
    }
  }
}

/** The message for a failed installation, with Terraform's first error in one line. */
function reason(output: string): string {
  const [, error = output] = /^Error: (.*?)(?:\n\n(?:To see which|Error:)|(?![\s\S]))/ms.exec(output) ?? [];
  const firstError = error.replaceAll(/\s+/g, " ").trim();
  return `Terraform cannot install the providers, which it takes from its registry or from a mirror that TF_CLI_CONFIG_FILE names: ${firstError}`;
}
