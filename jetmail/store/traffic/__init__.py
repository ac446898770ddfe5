"""What mail does: messages, content, deliveries, events. Plain functions of a connection."""
