import { App } from "cdktf";
import { ClusterStack, loadClusterSettings, SettingsError } from "./constructs";

try {
  const app = new App({ stackTraces: false });
  new ClusterStack(app, loadClusterSettings(app.node.tryGetContext("cluster")));
  app.synth();
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
