-- The newest comparison of routers.
select * from router_comparisons order by entry desc limit 1;
