/** The functions of `npm run cluster`. Its program loads them when a command needs them. */
export { openCluster, PartlyDone, StepError } from "./machines";
export { remove } from "./remove";
export { restore } from "./restore";
export { snapshot } from "./snapshot";
