/** The functions of `npm run credentials`. Its program loads them when a command needs them. */
export { checkFolder } from "./check";
export { credentialFiles, describedCluster, ENCRYPTION_CONFIG } from "./files";
export { writeFolder } from "./folder";
export { checkNodes } from "./nodes";
export { deployedNodes, findStack, readStack } from "./stack";
