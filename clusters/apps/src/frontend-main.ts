/**
 * The frontend: GET / asks cart, catalog and ratings by their plain names and says which cluster answered for
 * each. A failure of the cart fails the page; the other two only leave a gap.
 */
import { Agent, get } from 'node:http';
import { Client, credentials } from '@grpc/grpc-js';
import { here, serve } from './http-app.ts';
import { ratingsService, type Rating } from './ratings.ts';

const cartUrl = process.env['CART_URL'] ?? 'http://cart/items';
const catalogUrl = process.env['CATALOG_URL'] ?? 'http://catalog/items';
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const ratings = new Client(process.env['RATINGS_ADDR'] ?? 'ratings:9000', credentials.createInsecure());

interface Upstream {
  status: number;
  cluster: string;
  body: string;
}

function fetchText(url: string): Promise<Upstream> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, timeout: 5000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          cluster: String(response.headers['x-cluster'] ?? ''),
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer within 5 s`)));
    request.on('error', reject);
  });
}

function rating(sku: string): Promise<Rating> {
  const { path, requestSerialize, responseDeserialize } = ratingsService.get;
  return new Promise((resolve, reject) => {
    ratings.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { sku },
      { deadline: Date.now() + 5000 },
      (failure, answer) => {
        if (failure !== null || answer === undefined) reject(failure);
        else resolve(answer);
      },
    );
  });
}

serve({
  'GET /': async () => {
    const [cart, catalog, stars] = await Promise.all([
      fetchText(cartUrl),
      fetchText(catalogUrl).catch(() => undefined),
      rating('tea').catch(() => undefined),
    ]);
    const answeredBy = { cart: cart.cluster, catalog: catalog?.cluster, ratings: stars?.cluster };
    const headers = { 'x-cart-cluster': cart.cluster };
    if (cart.status !== 200) {
      return {
        status: 502,
        body: { ...here, error: `cart answered ${cart.status}: ${cart.body.slice(0, 300)}`, answeredBy },
        headers,
      };
    }
    return { body: { ...here, answeredBy, stars: stars?.stars }, headers };
  },
  'GET /cart': async () => {
    const cart = await fetchText(cartUrl);
    return {
      status: cart.status,
      body: { answeredBy: cart.cluster },
      headers: { 'x-cart-cluster': cart.cluster },
    };
  },
  'GET /healthz': () => ({ body: { ok: true } }),
});
