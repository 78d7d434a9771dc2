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

/** The synthesized JSON of a cluster, validations included. */
export function synthesizeCluster(settings: ClusterSettingsInput = {}): TerraformJson {
  return synthesize(newClusterStack(settings));
}

/** A cluster's stack in an app of its own. */
export function newClusterStack(input: ClusterSettingsInput = {}): ClusterStack {
  const settings = parseSettings(input);
  return new ClusterStack(newApp(), settings.name, settings);
}

/** The synthesized JSON of a stack in which somebody uses single constructs, validations included. */
export function synthesizeConstructs(build: (scope: Construct) => void): TerraformJson {
  const stack = new TerraformStack(newApp(), "theirs");
  for (const Provider of [AwsProvider, NullProvider, TlsProvider]) new Provider(stack, Provider.tfResourceType);
  build(stack);
  return synthesize(stack);
}

/** The synthesized JSON of a stack. `true` makes validations run, as they do outside of tests. */
export function synthesize(stack: TerraformStack): TerraformJson {
  return JSON.parse(Testing.synth(stack, true));
}

function newApp(): App {
  // One folder for all of this process, in which nothing is written: without, each app would leave one behind.
  return Testing.app({ stackTraces: false, outdir: join(tmpdir(), `cdktf-testing-${process.pid}`) });
}
