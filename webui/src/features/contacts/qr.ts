/** Reads a QR code from a picture: by the browser where it can, else by a decoder that is fetched when it is needed. */

interface Detector {
  detect(source: CanvasImageSource): Promise<{ rawValue: string }[]>;
}
type DetectorClass = new (options: { formats: string[] }) => Detector;

const SIDE_MAX = 1_600; // pixels; a larger picture is made smaller first

/** The words of the code; empty when none is found. */
export type Reader = (source: CanvasImageSource, width: number, height: number) => Promise<string>;

export async function reader(): Promise<Reader> {
  const Own = (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  if (Own) {
    try {
      const detector = new Own({ formats: ['qr_code'] });
      return async (source) => (await detector.detect(source))[0]?.rawValue ?? '';
    } catch {
      // no code reader in this system after all
    }
  }
  const { decodeQR } = await import('qr/decode.js');
  return async (source, width, height) => {
    const image = pixels(source, width, height);
    try {
      return image ? decodeQR(image, { timeLimit: 200 }) : '';
    } catch {
      return '';
    }
  };
}

function pixels(source: CanvasImageSource, width: number, height: number): ImageData | null {
  const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen?.drawImage(source, 0, 0, canvas.width, canvas.height);
  return pen?.getImageData(0, 0, canvas.width, canvas.height) ?? null;
}

export async function readFile(file: Blob): Promise<string> {
  const picture = await createImageBitmap(file);
  try {
    return await (await reader())(picture, picture.width, picture.height);
  } finally {
    picture.close();
  }
}
