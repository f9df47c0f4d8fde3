/** The catalog: GET /items lists what the shop sells. */
import { here, serve } from './http-app.ts';

const products = [
  { sku: 'tea', name: 'Green tea', price: 4.5 },
  { sku: 'pot', name: 'Tea pot', price: 24 },
  { sku: 'cup', name: 'Cup', price: 6 },
];

serve({
  'GET /items': () => ({ body: { ...here, products } }),
  'GET /healthz': () => ({ body: { ok: true } }),
});
