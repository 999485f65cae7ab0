declare module "cose-js" {
  interface Headers { p: Record<string, unknown>; u: Record<string, unknown> }
  const cose: {
    sign: {
      create(headers: Headers, payload: Buffer, signer: { key: { d: Buffer }; externalAAD: Buffer }): Promise<Buffer>;
      verify(message: Buffer, verifier: { key: { x: Buffer; y: Buffer }; externalAAD: Buffer }): Promise<Buffer>;
    };
  };
  export default cose;
}
