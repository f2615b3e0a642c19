-- How often the results of $submission could not be received.
select count(*) as times from submissions
where submission = $submission and state = 'submitted' and why is not null;
