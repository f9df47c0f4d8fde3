/** `npm start`: the demo of clusters/demo. */
import '../clusters/demo/src/main.ts';
