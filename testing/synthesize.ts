import { tmpdir } from "node:os";
import { join } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { NullProvider } from "@cdktf/provider-null/lib/provider";
import { TlsProvider } from "@cdktf/provider-tls/lib/provider";
import { type App, TerraformStack, Testing } from "cdktf";
import type { Construct } from "constructs";
import type { TerraformJson } from "../cloud/terraform-json";
import { ClusterStack } from "../constructs";
import { parseSettings } from "../settings/load";
import type { ClusterSettingsInput } from "../settings/schema";

/** The synthesized JSON of a cluster, after validation. */
export function synthesizeCluster(settings: ClusterSettingsInput = {}): TerraformJson {
  return synthesize(newClusterStack(settings));
}

/** A cluster's stack in a new app. */
export function newClusterStack(input: ClusterSettingsInput = {}): ClusterStack {
  const settings = parseSettings(input);
  return new ClusterStack(newApp(), settings.name, settings);
}

/** The synthesized JSON, after validation, of a stack that uses single constructs. @param build - adds the constructs */
export function synthesizeConstructs(build: (scope: Construct) => void): TerraformJson {
  const stack = new TerraformStack(newApp(), "theirs");
  for (const Provider of [AwsProvider, NullProvider, TlsProvider]) new Provider(stack, Provider.tfResourceType);
  build(stack);
  return synthesize(stack);
}

/** The synthesized JSON of a stack, after validation. */
export function synthesize(stack: TerraformStack): TerraformJson {
  // `true` runs the validations, as outside of tests.
  return JSON.parse(Testing.synth(stack, true));
}

function newApp(): App {
  // All apps of this process share one folder, and write nothing into it. Otherwise each app would leave a folder.
  return Testing.app({ stackTraces: false, outdir: join(tmpdir(), `cdktf-testing-${process.pid}`) });
}
