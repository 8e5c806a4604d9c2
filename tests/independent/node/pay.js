"use strict";

// An ERP in another language. It knows the contract (docs/lookup/contract) and nothing of the gateway's code.
// It publishes the orders in $ORDERS one after the other, and prints one JSON line for each message it hears:
// {"from": "reply" | "event", "key": …, "properties": …, "body": …}. It ends when every order has got its reply and,
// unless that was a rejection, a final event; or with code 1 after $LIMIT_S seconds.

const amqp = require("amqplib");

const { AMQP_URL, AMQP_USER, SENDER, PREFIX } = process.env;
const orders = JSON.parse(process.env.ORDERS);
const limitMs = Number(process.env.LIMIT_S || "30") * 1000;

const replies = `${PREFIX}.replies`;
const events = `${PREFIX}.events`;
const waiting = new Map(orders.map((order) => [order.message, { reply: false, final: false }]));

function say(from, message) {
  const body = JSON.parse(message.content.toString("utf8"));
  const { contentType, correlationId, messageId, userId, appId, type, headers } = message.properties;
  const properties = { contentType, correlationId, messageId, userId, appId, type, headers };
  process.stdout.write(JSON.stringify({ from, key: message.fields.routingKey, properties, body }) + "\n");
  const one = waiting.get(correlationId);
  if (!one) return;
  if (from === "reply") {
    one.reply = true;
    one.final = one.final || body.final === true || body.event !== "payment.accepted";
  } else if (body.final === true) {
    one.final = true;
  }
}

async function main() {
  const connection = await amqp.connect(AMQP_URL);
  const channel = await connection.createConfirmChannel();
  // A real ERP keeps durable queues; this one has no life after its orders.
  await channel.assertQueue(replies, { exclusive: true });
  await channel.assertQueue(events, { exclusive: true });
  await channel.bindQueue(events, "bankgw.events", `payment.*.*.${SENDER}`);

  const done = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`still waiting: ${JSON.stringify([...waiting])}`)), limitMs);
    const hear = (from) => (message) => {
      say(from, message);
      channel.ack(message);
      if ([...waiting.values()].every((one) => one.reply && one.final)) {
        clearTimeout(timer);
        resolve();
      }
    };
    channel.consume(replies, hear("reply"));
    channel.consume(events, hear("event"));
  });

  for (const order of orders) {
    channel.publish("bankgw.commands", order.key || "payment.submit", Buffer.from(JSON.stringify(order.body)), {
      userId: AMQP_USER,
      messageId: order.message,
      timestamp: Math.floor(Date.now() / 1000),
      replyTo: replies,
      contentType: "application/json",
      deliveryMode: 2,
      mandatory: true,
    });
    await channel.waitForConfirms();
  }
  await done;
  await connection.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error.stack || error}\n`);
    process.exit(1);
  },
);
