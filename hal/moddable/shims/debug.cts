/** `debug` of npm, silent. */
const silent = (): void => {};
const debug = (): (() => void) => silent;
export = debug;
