/** What the application can do: so many requests at a time, each taking so long. */
export const workers = 4;
export const workMs = 40;
