import { Annotations, App, TerraformStack } from "cdktf";
import { ClusterStack } from "./constructs";
import { checkNoStateIsDeleted } from "./credentials/states";
import { UserError } from "./model/user-error";
import { loadSettings } from "./settings/load";
import { settingsWarnings } from "./settings/warnings";

try {
  const app = new App({ stackTraces: false });
  const settings = loadSettings(app.node.tryGetContext("cluster"));
  const stack = new ClusterStack(app, settings.name, settings);
  for (const warning of settingsWarnings(settings)) Annotations.of(stack).addWarning(warning);
  const stacks = app.node.findAll().filter(TerraformStack.isStack);
  checkNoStateIsDeleted(
    app.outdir,
    stacks.map(({ node }) => node.id),
  );
  app.synth();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
