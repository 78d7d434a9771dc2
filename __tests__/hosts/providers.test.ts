import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installProviders, NoProvidersError, shareProviders } from "../../cloud/providers";
import { describeSuite } from "../../cloud/requirements";
import { synthesizeCluster } from "../../testing/synthesize";

test("a mirror has each provider under the names of both registries, also at the second call", () => {
  const mirror = mkdtempSync(join(tmpdir(), "mirror-"));
  const provider = (host: string, type: string) => join(mirror, `registry.${host}/hashicorp/${type}/1.0.0/linux_amd64`);
  for (const [host, type] of [
    ["terraform.io", "aws"],
    ["opentofu.org", "tls"],
  ] as const) {
    mkdirSync(provider(host, type), { recursive: true });
    writeFileSync(join(provider(host, type), "program"), type);
  }
  for (const _call of ["first", "second"]) {
    shareProviders(mirror);
    for (const host of ["terraform.io", "opentofu.org"]) {
      for (const type of ["aws", "tls"]) expect(readFileSync(join(provider(host, type), "program"), "utf8")).toBe(type);
    }
  }
  rmSync(mirror, { recursive: true });
});

describeSuite("real Terraform", () => {
  const folder = mkdtempSync(join(tmpdir(), "providers-"));
  const { TF_CLI_CONFIG_FILE } = process.env;

  afterAll(() => {
    if (TF_CLI_CONFIG_FILE === undefined) delete process.env.TF_CLI_CONFIG_FILE;
    else process.env.TF_CLI_CONFIG_FILE = TF_CLI_CONFIG_FILE;
    rmSync(folder, { recursive: true });
  });

  test("a failed installation of providers is reported in one line, at each attempt", async () => {
    const cliConfig = join(folder, "nothing.rc");
    writeFileSync(
      cliConfig,
      `provider_installation {\n  filesystem_mirror {\n    path = "${folder}/nothing"\n  }\n}\n`,
    );
    process.env.TF_CLI_CONFIG_FILE = cliConfig;

    for (const _attempt of ["first", "second"]) {
      const failure: Error = await installProviders(synthesizeCluster(), join(folder, "providers")).catch(
        (error) => error,
      );
      expect(failure).toBeInstanceOf(NoProvidersError);
      expect(failure.message).toMatch(
        /^Terraform cannot install the providers, .* TF_CLI_CONFIG_FILE names: Failed to query available provider packages .*hashicorp\/\w+/,
      );
      expect(failure.message).not.toContain("\n");
    }
    expect(existsSync(join(folder, "providers", "terraform.rc"))).toBe(false);
  });
});
