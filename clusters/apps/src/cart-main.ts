/** The cart: GET /items lists, POST /items adds `{sku, count}`. Kept in memory, one cart for everybody. */
import { here, readJson, serve } from './http-app.ts';

interface Item {
  sku: string;
  count: number;
}

const items = new Map<string, number>([['tea', 1]]);

function isItem(value: unknown): value is Item {
  const item = value as Partial<Item> | null;
  return typeof item === 'object' && typeof item?.sku === 'string' && Number.isInteger(item.count);
}

serve({
  'GET /items': () => ({ body: { ...here, items: Object.fromEntries(items) } }),
  'POST /items': async (request) => {
    const item = await readJson(request);
    if (!isItem(item))
      return { status: 400, body: { error: 'expected {"sku": text, "count": whole number}' } };
    items.set(item.sku, (items.get(item.sku) ?? 0) + item.count);
    return { status: 201, body: { ...here, items: Object.fromEntries(items) } };
  },
  'GET /healthz': () => ({ body: { ok: true } }),
});
