"""The online store on Redis 7, one server or a cluster: `RedisStore` in `store`; needs the extra `falaj[redis]`."""
