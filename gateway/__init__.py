"""bankgw: the gateway daemon between an ERP (RabbitMQ) and the banks' front ends, and its command line."""
