//! On a real RabbitMQ: each test has a vhost of its own.

#[cfg(test)]
mod appetite;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod publisher;
#[cfg(test)]
mod topology;
